"""Reads media in processes of their own, where a decoder that breaks, hangs or is taken over does no harm."""
