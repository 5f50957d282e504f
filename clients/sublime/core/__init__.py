"""What the plugin thinks with. Sublime loads only the files above this folder as plugins."""
