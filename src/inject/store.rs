//! Stores: Secrets of a fixed name whose keys pods name by reference, `${secrets.KEY}` and IOMETE's `secretObject`.
//!
//! A namespace has one store of its own, and one of the domain that it belongs to. Nothing of a store comes by itself,
//! and it needs no label: its name makes it one.

use std::sync::Arc;

use super::secret::Key;

/// The default of [`super::settings::Settings::store`]: IOMETE's.
pub const STORE: &str = "iomete-secret-store";

/// A store as the catalogue knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The name of the Kubernetes object.
    pub object: Box<str>,
    /// `metadata.resourceVersion`; empty for a Secret from a file.
    pub resource_version: Box<str>,
    /// Its keys, sorted by name.
    pub keys: Box<[Key]>,
}

impl Store {
    /// Whether it has a key of this name.
    #[must_use]
    pub fn has_key(&self, name: &str) -> bool {
        self.keys
            .binary_search_by(|key| (*key.name).cmp(name))
            .is_ok()
    }
}

/// The stores of a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stores {
    /// The domain that the namespace belongs to, by its label `keyporter.dev/domain`.
    pub domain: Option<Box<str>>,
    /// Those that are there, sorted by object name: the namespace's own and those of domains.
    pub stores: Vec<Arc<Store>>,
}

impl Stores {
    /// The store of this object name.
    #[must_use]
    pub fn named(&self, object: &str) -> Option<&Store> {
        let found = self
            .stores
            .binary_search_by(|store| (*store.object).cmp(object));
        found
            .ok()
            .and_then(|index| self.stores.get(index))
            .map(AsRef::as_ref)
    }

    /// The store that `${secrets.KEY}` means: that of the namespace's domain if it has the key, else the namespace's own
    /// (called `general`) if that has it.
    #[must_use]
    pub fn with_key(&self, general: &str, key: &str) -> Option<&Store> {
        let domain = self.domain.as_deref();
        let of_domain = domain.and_then(|domain| self.of_domain(general, domain));
        of_domain
            .filter(|store| store.has_key(key))
            .or_else(|| self.named(general).filter(|store| store.has_key(key)))
    }

    /// The store of one domain, whichever the namespace belongs to.
    #[must_use]
    pub fn of_domain(&self, general: &str, domain: &str) -> Option<&Store> {
        self.named(&of_domain(general, domain))
    }
}

/// What the store of a domain is called, where the namespace's own is called `general`.
#[must_use]
pub fn of_domain(general: &str, domain: &str) -> String {
    format!("{general}-{domain}")
}

/// Whether an object of this name is a store: the namespace's own, called `general`, or that of a domain.
#[must_use]
pub fn is_store(general: &str, object: &str) -> bool {
    object.strip_prefix(general).is_some_and(|rest| {
        let domain = rest.strip_prefix('-');
        rest.is_empty() || domain.is_some_and(|domain| !domain.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn store(object: &str, keys: &[&str]) -> Arc<Store> {
        let key = |name: &&str| Key {
            name: (*name).into(),
            length: 1,
        };
        Arc::new(Store {
            object: object.into(),
            resource_version: "1".into(),
            keys: keys.iter().map(key).collect(),
        })
    }

    fn stores(domain: Option<&str>) -> Stores {
        Stores {
            domain: domain.map(Into::into),
            stores: vec![
                store(STORE, &["both", "general"]),
                store("iomete-secret-store-finance", &["both", "finance"]),
            ],
        }
    }

    fn found(domain: Option<&str>, key: &str) -> Option<String> {
        let stores = stores(domain);
        let found = stores.with_key(STORE, key);
        found.map(|store| store.object.to_string())
    }

    #[test]
    fn the_domains_store_comes_first() {
        let finance = Some("iomete-secret-store-finance".to_owned());
        assert_eq!(found(Some("finance"), "both"), finance);
        assert_eq!(found(Some("finance"), "finance"), finance);
        assert_eq!(found(Some("finance"), "general").as_deref(), Some(STORE));
        assert_eq!(found(Some("finance"), "none"), None);
    }

    #[test]
    fn another_domains_store_is_not_looked_into() {
        assert_eq!(found(None, "finance"), None);
        assert_eq!(found(Some("sales"), "finance"), None);
        assert_eq!(found(Some("sales"), "both").as_deref(), Some(STORE));
    }

    #[rstest]
    #[case(STORE, true)]
    #[case("iomete-secret-store-finance", true)]
    #[case("iomete-secret-store-a-b.c", true)]
    #[case("iomete-secret-store-", false)]
    #[case("iomete-secret-stores", false)]
    #[case("iomete-secret-stor", false)]
    #[case("my-iomete-secret-store", false)]
    #[case("", false)]
    fn a_store_is_known_by_its_name(#[case] object: &str, #[case] expected: bool) {
        assert_eq!(is_store(STORE, object), expected);
    }
}
