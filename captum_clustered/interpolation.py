"""How maps are brought to another size."""

# torch's mode by the number of spatial dimensions.
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
