"""The console: the web terminal for traders and the back office for managers, a client of the REST API like any other."""
