"""The clients: terminal editor, REPL, one-shot command and bridge. They know the protocol only."""
