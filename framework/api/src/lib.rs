//! The seams of a node and the plain types that cross them.
