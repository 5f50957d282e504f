"""The resident daemon: protocol, scheduler, prompt, engine. Imports no client, torch or editor."""
