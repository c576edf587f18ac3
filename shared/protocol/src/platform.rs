//! Platforms, their classes and the policies of logging in at several of them (spec: gateway.md 9,
//! auth.md 2).

/// Kind of device, by which policies 4 and 5 judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// iOS and Android phones.
    Mobile,
    /// Windows, macOS, Linux.
    Pc,
    /// Browsers.
    Web,
    /// Mini programs.
    MiniWeb,
    /// Tablets.
    Pad,
    /// The administrator's own platform.
    Admin,
    /// HarmonyOS: not counted among the phones.
    HarmonyOs,
}

impl Class {
    /// Name as OpenIM writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Mobile => "Mobile",
            Class::Pc => "PC",
            Class::Web => "Web",
            Class::MiniWeb => "MiniWeb",
            Class::Pad => "Pad",
            Class::Admin => "Admin",
            Class::HarmonyOs => "HarmonyOS",
        }
    }
}

macro_rules! platforms {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $name:literal, $class:ident;)*) => {
        /// A client platform; its number travels as `platformID`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Platform { $($(#[$doc])* $variant = $id,)* }

        impl Platform {
            /// Every platform, by number.
            pub const ALL: &'static [Platform] = &[$(Platform::$variant,)*];

            /// The platform of a number, or nothing for an unknown one.
            pub const fn from_id(id: i32) -> Option<Self> {
                match id { $($id => Some(Platform::$variant),)* _ => None }
            }

            /// Name as OpenIM writes it.
            pub const fn name(self) -> &'static str {
                match self { $(Platform::$variant => $name,)* }
            }

            /// Kind of device.
            pub const fn class(self) -> Class {
                match self { $(Platform::$variant => Class::$class,)* }
            }
        }
    };
}

platforms! {
    /// iPhone.
    Ios = 1, "IOS", Mobile;
    /// Android phone.
    Android = 2, "Android", Mobile;
    /// Windows.
    Windows = 3, "Windows", Pc;
    /// macOS.
    Osx = 4, "OSX", Pc;
    /// Browser.
    Web = 5, "Web", Web;
    /// Mini program.
    MiniWeb = 6, "MiniWeb", MiniWeb;
    /// Linux.
    Linux = 7, "Linux", Pc;
    /// Android tablet.
    APad = 8, "APad", Pad;
    /// iPad.
    IPad = 9, "IPad", Pad;
    /// Administrator.
    Admin = 10, "Admin", Admin;
    /// HarmonyOS.
    HarmonyOs = 11, "HarmonyOS", HarmonyOs;
}

impl Platform {
    /// Number on the wire.
    pub const fn id(self) -> i32 {
        self as i32
    }

    /// Whether a push taken there suppresses the offline push (gateway.md 7.3).
    pub const fn is_push_terminal(self) -> bool {
        matches!(self, Platform::Ios | Platform::Android)
    }
}

/// Who may stay logged in beside a new login (`share.multiLogin.policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum LoginPolicy {
    /// 0: nobody is kicked; a platform keeps at most so many tokens.
    Unlimited = 0,
    /// 1: one session a platform.
    #[default]
    OnePerPlatform = 1,
    /// 4: one session a class.
    OnePerClass = 4,
    /// 5: computers are free, and of everything else there is one.
    PcAndOther = 5,
}

impl LoginPolicy {
    /// The policy of a number; 2, 3 and others do not exist.
    pub const fn from_id(id: i32) -> Option<Self> {
        match id {
            0 => Some(LoginPolicy::Unlimited),
            1 => Some(LoginPolicy::OnePerPlatform),
            4 => Some(LoginPolicy::OnePerClass),
            5 => Some(LoginPolicy::PcAndOther),
            _ => None,
        }
    }

    /// Number in the configuration.
    pub const fn id(self) -> i32 {
        self as i32
    }

    /// Whether a login at `new` ends a session of the same user at `old`. A session with the same
    /// token as the new one never ends; that is the caller's to know.
    pub fn kicks(self, new: Platform, old: Platform) -> bool {
        match self {
            LoginPolicy::Unlimited => false,
            LoginPolicy::OnePerPlatform => new == old,
            LoginPolicy::OnePerClass => new.class() == old.class(),
            LoginPolicy::PcAndOther => new.class() != Class::Pc && old.class() != Class::Pc,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_openims() {
        let table: Vec<_> = Platform::ALL
            .iter()
            .map(|p| (p.id(), p.name(), p.class().name()))
            .collect();
        assert_eq!(
            table,
            [
                (1, "IOS", "Mobile"),
                (2, "Android", "Mobile"),
                (3, "Windows", "PC"),
                (4, "OSX", "PC"),
                (5, "Web", "Web"),
                (6, "MiniWeb", "MiniWeb"),
                (7, "Linux", "PC"),
                (8, "APad", "Pad"),
                (9, "IPad", "Pad"),
                (10, "Admin", "Admin"),
                (11, "HarmonyOS", "HarmonyOS"),
            ]
        );
        assert!(
            Platform::ALL
                .iter()
                .all(|p| Platform::from_id(p.id()) == Some(*p))
        );
        assert_eq!(
            (
                Platform::from_id(0),
                Platform::from_id(12),
                Platform::from_id(-1)
            ),
            (None, None, None)
        );
    }

    #[test]
    fn policies_kick_as_described() {
        use Platform::*;
        let table = [
            (LoginPolicy::Unlimited, Ios, Ios, false),
            (LoginPolicy::OnePerPlatform, Ios, Ios, true),
            (LoginPolicy::OnePerPlatform, Ios, Android, false),
            (LoginPolicy::OnePerClass, Ios, Android, true),
            (LoginPolicy::OnePerClass, Ios, HarmonyOs, false),
            (LoginPolicy::OnePerClass, Windows, Linux, true),
            (LoginPolicy::PcAndOther, Windows, Windows, false),
            (LoginPolicy::PcAndOther, Ios, Web, true),
            (LoginPolicy::PcAndOther, Ios, Osx, false),
            (LoginPolicy::PcAndOther, Osx, Ios, false),
        ];
        for (policy, new, old, expected) in table {
            assert_eq!(
                policy.kicks(new, old),
                expected,
                "{policy:?} {new:?} {old:?}"
            );
        }
        assert_eq!(LoginPolicy::from_id(2), None);
        assert_eq!(
            LoginPolicy::from_id(LoginPolicy::default().id()),
            Some(LoginPolicy::OnePerPlatform)
        );
    }
}
