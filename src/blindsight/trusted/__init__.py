"""May see faces and secret keys: the vault, the client, the index."""
