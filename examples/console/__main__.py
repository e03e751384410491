from examples.console.app import main

main()
