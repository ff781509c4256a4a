//! Libraries that others write programs with, each in the language it is for: programs beside this file do the work.
//!
//! In: a device and the libraries that `cargo xtask test` fetched. Out: what such a program sees.

mod everyday;
mod operators;
mod rust;
mod watches;

use kedge::Device;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// A client of crate `kube` as the administrator.
pub async fn client(device: &Device) -> Client {
    let file = Kubeconfig::read_from(device.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}
