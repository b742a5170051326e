"""The command line: what is typed is checked here, before anything heavy is loaded."""
