"""The signed OpenAPI V2 door (specification 5)."""
