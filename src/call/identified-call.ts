import type { Extension, Tenant } from '../store/catalog.js'
import type { ChannelFacts } from './facts.js'
import type { Identity } from './identify.js'

/** What is known of a call from its first packet on: a route may see it. */
export class IdentifiedCall {
  protected readonly facts: ChannelFacts
  protected readonly identity: Identity

  constructor(facts: ChannelFacts, identity: Identity) {
    this.facts = facts
    this.identity = identity
  }

  get uuid(): string {
    return this.facts.uuid
  }

  get tenant(): Tenant {
    const { tenant } = this.identity
    if (tenant === undefined) throw new Error('a call of no tenant has no route')
    return tenant
  }

  get direction(): Identity['direction'] {
    return this.identity.direction
  }

  get caller(): string {
    return this.identity.caller
  }

  get called(): string {
    return this.identity.called
  }

  get callerNumber(): string {
    return this.facts.callerNumber
  }

  get calledExtension(): Extension | undefined {
    return this.identity.calledExtension
  }
}
