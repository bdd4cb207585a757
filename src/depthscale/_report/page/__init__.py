"""What every page is put together from: markup, formulas, parts, style and scripts."""
