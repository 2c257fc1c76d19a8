//! A deterministic simulation of the chain's audit, action and supernode rules.
