"""The journey language: YAML → model → checked → Program. Pure: files come in as text."""
