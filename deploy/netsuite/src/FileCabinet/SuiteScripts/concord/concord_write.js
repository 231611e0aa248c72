/**
 * Concord: up to ten guarded writes. `{writes: […]}` → `{results: […], remainingUsage}` (write protocol 1)
 *
 * @NApiVersion 2.1
 * @NScriptType Restlet
 * @NModuleScope SameAccount
 */
define(['N/error', 'N/runtime', './records', './writes'], (error, runtime, records, writes) => {
    const ITEM_RECORD = 'inventoryitem';

    const post = (body) => {
        const began = Date.now();
        const chosen = runtime.getCurrentScript().getParameter({ name: 'custscript_concord_wr_item' });
        try {
            return writes.carryOut(body, records.port(began, String(chosen || ITEM_RECORD)));
        } catch (refused) {
            const { name, message } = refused;
            const bounded = String(message).slice(0, 300);
            throw error.create({ name: name || 'UNEXPECTED_ERROR', message: bounded, notifyOff: true });
        }
    };

    return { post };
});
