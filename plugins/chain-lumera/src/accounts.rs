//! Accounts, whatever type the chain keeps them as (wire 2.10).

use crate::convert;
use crate::pool::Pool;
use lampkeeper_plugin_sdk::api::chain::{AccountInfo, ChainError};
use lampkeeper_plugin_sdk::protocol::account::decode_account;
use lampkeeper_proto::calls::auth;
use lampkeeper_proto::cosmos::auth::v1beta1::{
    BaseAccount, ModuleAccount, QueryAccountInfoRequest, QueryAccountRequest,
};
use lampkeeper_proto::cosmos::vesting::v1beta1 as vesting;
use lampkeeper_proto::ibc::applications::interchain_accounts::v1::InterchainAccount;
use prost::{DecodeError, Message, Name};
use prost_types::Any;

/// What the chain knows of an account.
///
/// A text that is no account is not asked about: the chain has words for it, but no status of its own.
pub(crate) async fn query(pool: &Pool, address: &str) -> Result<AccountInfo, ChainError> {
    if decode_account(address).is_err() {
        return Err(ChainError::NotFound { what: format!("account {address:?}") });
    }
    let request = QueryAccountInfoRequest { address: address.to_owned() };
    let info = match pool.call(auth::ACCOUNT_INFO, request).await {
        Ok(answer) => answer.info,
        // A chain that does not have the shorter query has the longer one.
        Err(ChainError::Unavailable { .. }) => {
            let answer =
                pool.call(auth::ACCOUNT, QueryAccountRequest { address: address.to_owned() }).await?;
            answer.account.map(|account| base_account(&account)).transpose().map_err(unreadable)?.flatten()
        }
        Err(error) => return Err(error),
    };
    let info = info.ok_or_else(|| ChainError::NotFound { what: format!("account {address}") })?;
    convert::account(info).map_err(unreadable)
}

fn unreadable(reason: impl ToString) -> ChainError {
    ChainError::Unavailable { reason: format!("an account can't be read: {}", reason.to_string()) }
}

/// The part that all types of account share; `None` for a type that is not known.
fn base_account(account: &Any) -> Result<Option<BaseAccount>, DecodeError> {
    fn read<M: Message + Name + Default>(any: &Any) -> Option<Result<M, DecodeError>> {
        (any.type_url == M::type_url()).then(|| M::decode(any.value.as_slice()))
    }
    let vesting = |base: Option<vesting::BaseVestingAccount>| base.and_then(|base| base.base_account);
    if let Some(found) = read::<BaseAccount>(account) {
        return found.map(Some);
    }
    if let Some(found) = read::<ModuleAccount>(account) {
        return found.map(|found| found.base_account);
    }
    if let Some(found) = read::<InterchainAccount>(account) {
        return found.map(|found| found.base_account);
    }
    if let Some(found) = read::<vesting::BaseVestingAccount>(account) {
        return found.map(|found| vesting(Some(found)));
    }
    if let Some(found) = read::<vesting::ContinuousVestingAccount>(account) {
        return found.map(|found| vesting(found.base_vesting_account));
    }
    if let Some(found) = read::<vesting::DelayedVestingAccount>(account) {
        return found.map(|found| vesting(found.base_vesting_account));
    }
    if let Some(found) = read::<vesting::PeriodicVestingAccount>(account) {
        return found.map(|found| vesting(found.base_vesting_account));
    }
    if let Some(found) = read::<vesting::PermanentLockedAccount>(account) {
        return found.map(|found| vesting(found.base_vesting_account));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_account_has_its_base() {
        let base =
            BaseAccount { address: "lumera1x".to_owned(), account_number: 3, ..BaseAccount::default() };
        let some = Some(base.clone());
        let locked = vesting::BaseVestingAccount { base_account: some.clone(), ..Default::default() };
        let wrapped = [
            Any::from_msg(&base),
            Any::from_msg(&ModuleAccount { base_account: some.clone(), ..Default::default() }),
            Any::from_msg(&InterchainAccount { base_account: some.clone(), ..Default::default() }),
            Any::from_msg(&locked),
            Any::from_msg(&vesting::ContinuousVestingAccount {
                base_vesting_account: Some(locked.clone()),
                ..Default::default()
            }),
            Any::from_msg(&vesting::DelayedVestingAccount { base_vesting_account: Some(locked.clone()) }),
            Any::from_msg(&vesting::PeriodicVestingAccount {
                base_vesting_account: Some(locked.clone()),
                ..Default::default()
            }),
            Any::from_msg(&vesting::PermanentLockedAccount { base_vesting_account: Some(locked) }),
        ];
        for any in wrapped {
            let any = any.unwrap();
            assert_eq!(base_account(&any).unwrap(), some, "{}", any.type_url);
        }
        let unknown = Any { type_url: "/cosmos.unknown.Account".to_owned(), value: vec![] };
        assert_eq!(base_account(&unknown).unwrap(), None);
    }
}
