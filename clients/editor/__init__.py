"""A full-screen terminal editor with ghost text."""
