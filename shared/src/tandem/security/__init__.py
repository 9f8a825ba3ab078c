"""Who may call and who is called: certificates and tokens, both read again when their files change."""
