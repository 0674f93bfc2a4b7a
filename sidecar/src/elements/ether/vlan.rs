//! What the VLAN elements share: the tag control information (IEEE 802.1Q), its arguments and its handlers.

use crate::config::Value;
use crate::element::{Arg, Args, ConfigError, Handler, HandlerError, Packet};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, StateError, Writer};

/// Ethernet type of a customer VLAN tag.
pub(super) const ETHERTYPE: u16 = 0x8100;
/// The VLAN identifier within the tag control information.
const ID: u16 = 0xfff;
/// Where the priority code point starts in the tag control information.
const PCP_SHIFT: u32 = 13;

pub(super) const TCI_OR_ANNO: Arg = Arg::optional(
    "VLAN_TCI",
    "0-65535 or ANNO",
    "",
    "identifier and priority in one; ANNO for the annotation's",
);
pub(super) const PCP: Arg = Arg::optional("VLAN_PCP", "0-7", "0", "priority code point");
pub(super) const VLAN_ID: Arg =
    Arg::keyword("VLAN_ID", "0-4095", "0", "VLAN identifier, where VLAN_TCI is not given");
pub(super) const NATIVE: Arg =
    Arg::keyword("NATIVE_VLAN", "integer", "0", "VLAN whose packets get no tag; -1 for none");

pub(super) const TCI_HANDLER: Handler = Handler::both("vlan_tci", "tag control information");
pub(super) const ID_HANDLER: Handler = Handler::both("vlan_id", "VLAN identifier");
pub(super) const PCP_HANDLER: Handler = Handler::both("vlan_pcp", "priority code point");
pub(super) const NATIVE_HANDLER: Handler =
    Handler::both("native_vlan", "VLAN whose packets get no tag; -1 for none");

/// The tag of a frame, if it has one of this type.
#[inline]
pub(super) fn tag(frame: &[u8], ethertype: u16) -> Option<u16> {
    let [high, low, tag @ ..] = frame.get(12..16)? else { return None };
    (u16::from_be_bytes([*high, *low]) == ethertype)
        .then(|| tag.first_chunk().copied().map(u16::from_be_bytes))?
}

/// The tag that packets get.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag {
    /// Identifier and priority; of no use while the annotation says it.
    tci: u16,
    from_annotation: bool,
    /// The VLAN whose packets get no tag.
    native: Option<u16>,
}

/// An argument between 0 and `max`.
fn bounded(args: &Args<'_>, name: &str, max: u16) -> Result<Option<u16>, ConfigError> {
    let value = args.get::<u16>(name)?;
    match value {
        Some(value) if value > max => Err(format!("{name}: out of range, maximum is {max}").into()),
        fine => Ok(fine),
    }
}

/// A native VLAN from its number.
pub(super) fn native(number: i32) -> Result<Option<u16>, String> {
    match u16::try_from(number) {
        Ok(vlan) if vlan <= ID => Ok(Some(vlan)),
        Err(_) if number == -1 => Ok(None),
        _ => Err("NATIVE_VLAN: out of range, limits are -1 and 4095".to_owned()),
    }
}

impl Tag {
    /// The tag that VLAN_TCI (a number), VLAN_PCP and VLAN_ID say.
    pub(super) fn fixed(args: &Args<'_>) -> Result<Self, ConfigError> {
        let id = bounded(args, "VLAN_ID", ID)?.unwrap_or(0);
        let pcp = bounded(args, "VLAN_PCP", 7)?.unwrap_or(0);
        let tci = args.get("VLAN_TCI")?.unwrap_or(id) | pcp << PCP_SHIFT;
        Ok(Self { tci, from_annotation: false, native: None })
    }

    /// As [`Tag::fixed`], where VLAN_TCI may be ANNO and NATIVE_VLAN says which packets get no tag.
    pub(super) fn of_encapsulation(args: &Args<'_>) -> Result<Self, ConfigError> {
        let native = native(args.or("NATIVE_VLAN", 0)?)?;
        if args.text("VLAN_TCI") == Some("ANNO") {
            return Ok(Self { tci: 0, from_annotation: true, native });
        }
        Ok(Self { native, ..Self::fixed(args)? })
    }

    /// The tag control information as configured.
    pub(super) fn tci(&self) -> u16 {
        self.tci
    }

    /// The tag control information for this packet; `None` if it goes without a tag.
    #[inline]
    pub(super) fn for_packet(&self, packet: &Packet) -> Option<u16> {
        let tci = if self.from_annotation { packet.anno().vlan_tci } else { self.tci };
        (Some(tci & ID) != self.native).then_some(tci)
    }

    /// Answers the handlers above.
    pub(super) fn read(&self, handler: &str) -> Result<String, HandlerError> {
        match handler {
            "vlan_tci" if self.from_annotation => Ok("ANNO".to_owned()),
            "vlan_tci" => Ok(self.tci.to_string()),
            "vlan_id" => Ok((self.tci & ID).to_string()),
            "vlan_pcp" => Ok((self.tci >> PCP_SHIFT).to_string()),
            "native_vlan" => Ok(self.native.map_or("-1".to_owned(), |vlan| vlan.to_string())),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    /// Obeys the handlers above; ANNO is for encapsulations only, which have a native VLAN.
    pub(super) fn write(&mut self, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "vlan_tci" => {
                self.tci = parse_handler(value)?;
                self.from_annotation = false;
            }
            "vlan_id" => self.tci = self.tci & !ID | part(value, ID)?,
            "vlan_pcp" => {
                let pcp = part(value, 7)?;
                self.tci = self.tci & !(7 << PCP_SHIFT) | pcp << PCP_SHIFT;
            }
            "native_vlan" => self.native = native(parse_handler(value)?).map_err(HandlerError::Refused)?,
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    pub(super) fn save(&self, w: &mut Writer) {
        w.put_u16(self.tci);
        w.put_bool(self.from_annotation);
        w.put_u16(self.native.unwrap_or(u16::MAX));
    }

    pub(super) fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.tci = r.get_u16()?;
        self.from_annotation = r.get_bool()?;
        self.native = match r.get_u16()? {
            u16::MAX => None,
            vlan if vlan <= ID => Some(vlan),
            other => return Err(StateError::Invalid { what: "native VLAN", value: other.into() }),
        };
        Ok(())
    }

    /// As [`Tag::write`], where the tag may come from the annotation.
    pub(super) fn write_encapsulation(&mut self, handler: &str, value: &str) -> Result<(), HandlerError> {
        if handler == "vlan_tci" && value.trim() == "ANNO" {
            self.from_annotation = true;
            return Ok(());
        }
        self.write(handler, value)
    }
}

fn part(value: &str, max: u16) -> Result<u16, HandlerError> {
    match u16::parse_plain(value).map_err(HandlerError::Refused)? {
        value if value > max => Err(HandlerError::Refused(format!("out of range, maximum is {max}"))),
        value => Ok(value),
    }
}
