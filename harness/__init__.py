"""The application: configuration, plan, sweep, tasks and command line. Importing it imports nothing heavy."""
