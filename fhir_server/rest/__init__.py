"""The RESTful API over HTTP: the only package that knows a web framework."""
