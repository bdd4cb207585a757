"""The normalizers, written out."""
