//! The codes with which the transaction pipeline refuses (the SDK's own; wire 10.1).

use lampkeeper_chain_sim::refusal::ErrorCode;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)+) => {
        $($(#[$doc])*
        pub(crate) const $name: ErrorCode = ErrorCode { codespace: "sdk", code: $code, text: $text };)+
    };
}

codes! {
    /// The bytes are no transaction.
    TX_DECODE = 2, "tx parse error";
    /// The signature is not the account's.
    UNAUTHORIZED = 4, "unauthorized";
    /// The fee can't be paid.
    INSUFFICIENT_FUNDS = 5, "insufficient funds";
    /// No module executes this message.
    UNKNOWN_REQUEST = 6, "unknown request";
    /// The key is not the account's.
    INVALID_PUBLIC_KEY = 8, "invalid pubkey";
    /// There is no such account.
    UNKNOWN_ADDRESS = 9, "unknown address";
    /// The gas limit was used up.
    OUT_OF_GAS = 11, "out of gas";
    /// Less than the node asks for.
    INSUFFICIENT_FEE = 13, "insufficient fee";
    /// Nobody signed.
    NO_SIGNATURES = 15, "no signatures supplied";
    /// Malformed.
    INVALID_REQUEST = 18, "invalid request";
    /// It waits for its block already.
    ALREADY_IN_MEMPOOL = 19, "tx already in mempool";
    /// Too many wait.
    MEMPOOL_IS_FULL = 20, "mempool is full";
    /// Longer than any transaction may be.
    TX_TOO_LARGE = 21, "tx too large";
    /// Its last block is over.
    TIMEOUT_HEIGHT = 30, "tx timeout height";
    /// It is another transaction's turn.
    WRONG_SEQUENCE = 32, "incorrect account sequence";
}
