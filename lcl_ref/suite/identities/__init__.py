"""Systems that compute the same: identities between them, and the maps that connect their tensors."""
