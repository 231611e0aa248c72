/** The write RESTlet on a fake account, and the writes and records its tests are about. */

const { Account } = require('./account');
const { script } = require('./load');

const RID = '0190a3f2-7c11-7000-8000-0000000000aa';

const writeRestlet = () => {
    const account = new Account();
    const { post } = script(account, 'concord_write');
    const item = (more) => ({
        writeId: 'w1', kind: 'update', type: 'customer', id: null, rid: RID, stamp: 3, expect: 2, changes: {}, pre: {}, ...more,
    });
    return {
        account,
        post,
        item,
        write: (more) => post({ writes: [item(more)] }).results[0],
        customer: (values) => String(account.seed('customer', {
            companyname: 'Acme', email: 'a@b.example', custentity_concord_stamp: `${RID}:2`, ...values,
        })),
        saved: (type = 'customer') => account.calls.filter((c) => c.operation === 'save' && c.type === type).length,
    };
};

module.exports = { RID, writeRestlet };
