"""Write files and tell their content apart."""
