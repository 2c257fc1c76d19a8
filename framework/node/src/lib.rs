//! The Lampkeeper node: command line, node and local network.
