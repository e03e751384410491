from examples.tasks.app import main

main()
