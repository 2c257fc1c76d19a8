//! The honesty matrix: everything that may go wrong for honest nodes, many challenges, no false accusation.
