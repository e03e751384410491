from examples.sommelier.app import main

main()
