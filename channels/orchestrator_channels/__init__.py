"""The adapters that come with the product. Nothing imports them by name: they arrive by entry point, like anyone's."""
