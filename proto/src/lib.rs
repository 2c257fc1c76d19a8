//! The protobuf messages of the supernode and chain wires.
