"""What went wrong in public: each bug as a layer that is wrong where the bug was, and which of them the cases see."""
