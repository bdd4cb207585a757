"""Records as tables and charts. Charts compute nothing."""
