"""The command line ``ctcore``: one file a command. Nothing heavy is imported before a command runs."""
