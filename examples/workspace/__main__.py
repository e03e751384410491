from examples.workspace.app import main

main()
