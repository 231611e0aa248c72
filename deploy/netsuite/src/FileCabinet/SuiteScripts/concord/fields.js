/**
 * The record types Concord looks at, and how its names (those of SuiteQL) map to what a script can read and set.
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define([], () => {
    /** Item record types are many; Concord and SuiteQL know one. */
    const ITEMS = [
        'inventoryitem', 'noninventoryitem', 'serviceitem', 'assemblyitem', 'kititem', 'otherchargeitem',
        'lotnumberedinventoryitem', 'serializedinventoryitem', 'lotnumberedassemblyitem', 'serializedassemblyitem',
    ];

    /**
     * `ids`: where the script's field id is not the SuiteQL name. `price`: the field that is no field but the first
     * cell of the price matrix. `watched`: standard fields a user event reports; custom fields of the record are
     * reported as well, whatever their names. `units`: what load and save cost.
     */
    const TYPES = {
        customer: {
            name: 'customer', table: 'customer', stamp: 'custentity_concord_stamp',
            createAs: 'customer', loadAs: 'customer', records: ['customer', 'lead', 'prospect'],
            units: { load: 5, save: 10 }, ids: {}, price: null, custom: 'custentity',
            watched: ['entityid', 'companyname', 'email', 'phone', 'creditlimit', 'comments', 'terms', 'currency',
                'isinactive'],
            lines: null,
        },
        item: {
            name: 'item', table: 'item', stamp: 'custitem_concord_stamp',
            createAs: 'inventoryitem', loadAs: null, records: ITEMS,
            units: { load: 5, save: 10 }, ids: { description: 'salesdescription' }, price: 'baseprice',
            custom: 'custitem',
            watched: ['itemid', 'displayname', 'description', 'baseprice', 'isinactive'],
            lines: null,
        },
        salesorder: {
            name: 'salesorder', table: 'transaction', stamp: 'custbody_concord_stamp',
            createAs: 'salesorder', loadAs: 'salesorder', records: ['salesorder'],
            units: { load: 10, save: 20 }, ids: { status: 'orderstatus' }, price: null, custom: 'custbody',
            watched: ['entity', 'tranid', 'trandate', 'memo', 'status', 'otherrefnum'],
            lines: { sublist: 'item', id: 'line', watched: ['item', 'quantity', 'rate'] },
        },
    };

    /** The type of that name as the write protocol and the envelopes spell it, or null. */
    const named = (name) => {
        const key = String(name).toLowerCase();
        return Object.prototype.hasOwnProperty.call(TYPES, key) ? TYPES[key] : null;
    };

    /** The type a script's record belongs to, or null for one Concord does not look at. */
    const ofRecord = (recordType) => {
        const key = String(recordType).toLowerCase();
        return Object.values(TYPES).find((type) => type.records.includes(key)) || null;
    };

    /** The script's field id for a SuiteQL name. */
    const idOf = (type, name) => (Object.prototype.hasOwnProperty.call(type.ids, name) ? type.ids[name] : name);

    return { named, ofRecord, idOf };
});
