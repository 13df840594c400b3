// A payment service that loses its error on the way: chargeCard hands the gateway's error back without recording it,
// so only its caller, processPayment, is marked as failed.
//
//	payment ENDPOINT HEALTHY
//
// sends HEALTHY payments that succeed and one that fails to an OTLP/gRPC endpoint without TLS, and prints the trace id
// of the one that failed.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

type payment struct {
	amount   float64
	currency string
	customer string
	fails    bool
}

type receipt struct{ transaction, responseCode string }

var tracer = otel.Tracer("payment-service")

// charge is the gateway's client library: nobody has instrumented it.
func charge(one payment) (receipt, error) {
	time.Sleep(2 * time.Millisecond)
	if one.fails {
		return receipt{}, errors.New("connection reset by peer")
	}
	return receipt{"txn-" + one.customer, "00"}, nil
}

func chargeCard(ctx context.Context, one payment) error {
	_, span := tracer.Start(ctx, "chargeCard")
	defer span.End()
	result, err := charge(one)
	if err != nil {
		return fmt.Errorf("payment gateway error: %w", err)
	}
	span.SetAttributes(
		attribute.String("transaction.id", result.transaction),
		attribute.String("gateway.response_code", result.responseCode),
	)
	return nil
}

func processPayment(ctx context.Context, one payment) (string, error) {
	ctx, span := tracer.Start(ctx, "processPayment")
	defer span.End()
	span.SetAttributes(
		attribute.Float64("payment.amount", one.amount),
		attribute.String("payment.currency", one.currency),
		attribute.String("customer.id", one.customer),
	)
	id := span.SpanContext().TraceID().String()
	if err := chargeCard(ctx, one); err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
		return id, err
	}
	span.SetStatus(codes.Ok, "")
	return id, nil
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: payment ENDPOINT HEALTHY")
	}
	healthy, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatalf("HEALTHY is %q; expected a number", os.Args[2])
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(os.Args[1]), otlptracegrpc.WithInsecure())
	if err != nil {
		log.Fatal(err)
	}
	provider := trace.NewTracerProvider(
		trace.WithBatcher(exporter),
		trace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "payment-service"),
			attribute.String("service.version", "v2.3.1"),
			attribute.String("environment", "production"),
		)),
	)
	otel.SetTracerProvider(provider)
	for i := range healthy {
		if _, err := processPayment(ctx, payment{amount: 20, currency: "EUR", customer: fmt.Sprint(i)}); err != nil {
			log.Fatal(err)
		}
	}
	failed, _ := processPayment(ctx, payment{149.99, "USD", "customer-789", true})
	if err := provider.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(failed)
}
