import { Controller, Get } from '@nestjs/common';
import { HealthCheck, HealthCheckService, type HealthCheckResult } from '@nestjs/terminus';
import { DurableHealthIndicator } from 'nestjs-durable';

@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly durable: DurableHealthIndicator,
  ) {}

  /** Readiness: a load balancer sends requests only while this answers 200. */
  @Get('ready')
  @HealthCheck()
  ready(): Promise<HealthCheckResult> {
    return this.health.check([() => this.durable.isHealthy('workflows', { maxDatabaseLatency: '2s' })]);
  }

  /**
   * State of the queues, for a monitor. No load balancer asks for it, because all processes would
   * fail at the same time.
   */
  @Get('queues')
  @HealthCheck()
  queues(): Promise<HealthCheckResult> {
    return this.health.check([() => this.durable.isHealthy('workflows', { maxOldestDueAge: '1 minute', maxUnregistered: 0 })]);
  }

  /** Liveness: asks no database, because a restart of this process fixes no database. */
  @Get('live')
  @HealthCheck()
  live(): Promise<HealthCheckResult> {
    return this.health.check([() => this.durable.isAlive('workflows')]);
  }
}
