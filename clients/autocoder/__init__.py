"""Autocoder: code completion that is local, private and instant.

The package's front door. It knows the version and nothing else; importing it is free.
"""

__version__ = "0.1.0"
