// The page that runs an official SDK. The test calls `sdkCall`; everything the SDK reports goes to `sdkReport`.

import * as Js from '@openim/client-sdk';
import * as Wasm from '@openim/wasm-client-sdk';

const kind = new URLSearchParams(location.search).get('sdk');
const { getSDK, CbEvents } = kind === 'js' ? Js : Wasm;
const sdk =
  kind === 'js' ? getSDK() : getSDK({ coreWasmPath: '/openIM.wasm', sqlWasmPath: '/sql-wasm.wasm' });

for (const event of Object.values(CbEvents)) {
  sdk.on(event, ({ data, errCode, errMsg } = {}) => window.sdkReport({ event, data, errCode, errMsg }));
}

/** Calls a method of the SDK: `{ok: true, data}` or `{ok: false, errCode, errMsg}`. */
window.sdkCall = async (method, args) => {
  try {
    const reply = await sdk[method](...args);
    return { ok: true, data: reply?.data };
  } catch (error) {
    return { ok: false, errCode: error?.errCode, errMsg: error?.errMsg ?? String(error) };
  }
};
window.sdkReady = true;
