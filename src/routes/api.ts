/** For those who write routes of their own in TypeScript: `import type { Route } from 'linger/routes'`. */
export type {
  Arguments,
  Call,
  CollectWishes,
  GatewayDialOptions,
  GatewayResult,
  PublishedEvent,
  QueueOptions,
  QueueResult,
  RingOptions,
  TransferTarget,
} from './call.js'
export type { Route } from './route.js'
export type { BridgeResult } from '../channel/channel.js'
export type { Collected } from '../channel/collect.js'
export type { Direction } from '../numbering/direction.js'
export type { Extension, Gateway, Tenant } from '../store/catalog.js'
export type { Choice, Hours, Menu, Reference, Sound, Step } from '../store/flow.js'
