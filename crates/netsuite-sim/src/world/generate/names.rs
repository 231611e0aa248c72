//! Words that sample records are made of. Hosts end in `.example`, so that no mail ever reaches anyone.

pub(super) const FIRST: [&str; 24] = [
    "Ana", "Ben", "Carla", "David", "Elena", "Farid", "Grace", "Hiro", "Ines", "Jonas", "Keiko", "Liam", "Maria",
    "Noah", "Olga", "Pavel", "Quinn", "Rosa", "Samir", "Tessa", "Uma", "Victor", "Wanda", "Zoë",
];
pub(super) const LAST: [&str; 24] = [
    "Adler", "Baker", "Costa", "Dubois", "Evans", "Fischer", "García", "Hansen", "Ito", "Jensen", "Kowalski", "Larsen",
    "Müller", "Nakamura", "O'Brien", "Petrov", "Quist", "Rossi", "Silva", "Tanaka", "Ueda", "Vargas", "Weber", "Young",
];
pub(super) const BRAND: [&str; 20] = [
    "Blue", "North", "Granite", "Amber", "Silver", "Harbor", "Summit", "Cedar", "Falcon", "Meadow", "Iron", "Coral",
    "Maple", "Prairie", "Redwood", "Lakeside", "Canyon", "Juniper", "Beacon", "Willow",
];
pub(super) const TRADE: [&str; 16] = [
    "Supply",
    "Traders",
    "Works",
    "Foods",
    "Tools",
    "Labs",
    "Outfitters",
    "Logistics",
    "Paper",
    "Systems",
    "Hardware",
    "Textiles",
    "Optics",
    "Marine",
    "Bicycles",
    "Gardens",
];
pub(super) const FORM: [&str; 6] = ["Inc.", "LLC", "Ltd", "GmbH", "Co.", "S.A."];
pub(super) const GOODS: [&str; 16] = [
    "Widget", "Bracket", "Valve", "Lamp", "Cable", "Filter", "Hinge", "Panel", "Gasket", "Bearing", "Pump", "Switch",
    "Sensor", "Fan", "Clamp", "Fitting",
];
pub(super) const MATERIAL: [&str; 8] = ["Steel", "Brass", "Oak", "Nylon", "Copper", "Glass", "Ceramic", "Rubber"];
pub(super) const STREETS: [&str; 12] = [
    "Main Street",
    "Oak Avenue",
    "Station Road",
    "Mill Lane",
    "Harbor Way",
    "Market Street",
    "Hill Road",
    "Park Avenue",
    "Church Street",
    "Canal Wharf",
    "Elm Street",
    "High Street",
];
/// City, state, postal code, country.
pub(super) const CITIES: [(&str, &str, &str, &str); 12] = [
    ("Oakland", "CA", "94607", "US"),
    ("Denver", "CO", "80202", "US"),
    ("Austin", "TX", "78701", "US"),
    ("Portland", "OR", "97205", "US"),
    ("Boston", "MA", "02108", "US"),
    ("Chicago", "IL", "60601", "US"),
    ("Leeds", "", "LS11 5PS", "GB"),
    ("Toronto", "ON", "M5H 2N2", "CA"),
    ("Lyon", "", "69002", "FR"),
    ("Köln", "", "50667", "DE"),
    ("Málaga", "", "29015", "ES"),
    ("Sydney", "NSW", "2000", "AU"),
];
pub(super) const MEMOS: [&str; 8] = [
    "Deliver to dock 4",
    "Call before delivery",
    "Rush",
    "Customer picks up",
    "Partial shipment allowed",
    "Gift wrap",
    "Quote as agreed",
    "Spring order",
];
