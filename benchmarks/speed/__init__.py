"""What a class activation map costs, in forward passes."""
