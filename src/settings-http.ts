import { setting } from './setting.js'
import { addresses, origins, whole } from './setting-values.js'

/** Who may use the admin API, and how often. */
export const httpSettings = {
  httpRateLimit: setting({
    name: 'HTTP_RATE_LIMIT',
    default: '6000',
    allowed: 'a whole number from 1 to 10000000',
    purpose: 'Requests a minute that an API key may make which has no limit of its own',
    parse: whole(1, 10_000_000),
  }),
  httpWrongKeys: setting({
    name: 'HTTP_WRONG_KEYS',
    default: '20',
    allowed: 'a whole number from 1 to 1000000',
    purpose: 'Wrong API keys a minute from one address; more are looked up one at a time',
    parse: whole(1, 1_000_000),
  }),
  httpTrustedProxies: setting({
    name: 'HTTP_TRUSTED_PROXIES',
    allowed: 'addresses and CIDR ranges with commas between, such as 127.0.0.1,10.0.0.0/8',
    purpose: 'Proxies before the admin API whose X-Forwarded-For is believed',
    parse: addresses,
  }),
  httpCorsOrigins: setting({
    name: 'HTTP_CORS_ORIGINS',
    allowed: 'origins with commas between, such as https://admin.example.com',
    purpose: "Whose web pages may use the admin API besides the server's own",
    parse: origins,
  }),
}
