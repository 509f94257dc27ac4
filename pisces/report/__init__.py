"""Every picture: tables and arrays in, figures out. `pictures` says which is made of what."""
