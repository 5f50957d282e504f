"""`autocoder bench`: how fast is it here? Measures passes, a typist and many typists."""
