"""The studies behind ``duopoly theory`` and ``docs/theory.md``: their numbers, tables, figures."""
