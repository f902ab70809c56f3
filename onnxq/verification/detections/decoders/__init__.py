"""One module a decoder; a module here is registered by that alone."""
