// crictl is the part of the well-known tool that "kind load" calls, and the two lists that a
// person at a node wants. It stands in because the real module cannot be had from the module proxy.
//
//	crictl inspecti IMAGE   {"status":{"id":..,"repoTags":[..]}}; exit 1 if the node has no such image
//	crictl images | ps      plain lists
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	endpoint = "unix:///run/containerd/containerd.sock"
	patience = 20 * time.Second
)

var errUsage = errors.New("usage: crictl inspecti IMAGE | images | ps")

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "crictl:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	connection, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("reach %s: %w", endpoint, err)
	}
	defer connection.Close()
	switch {
	case len(args) == 2 && args[0] == "inspecti":
		return inspectImage(ctx, cri.NewImageServiceClient(connection), args[1])
	case len(args) == 1 && args[0] == "images":
		return listImages(ctx, cri.NewImageServiceClient(connection))
	case len(args) == 1 && args[0] == "ps":
		return listContainers(ctx, cri.NewRuntimeServiceClient(connection))
	}
	return errUsage
}

func inspectImage(ctx context.Context, images cri.ImageServiceClient, name string) error {
	answer, err := images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}})
	if err != nil {
		return err
	}
	image := answer.GetImage()
	if image == nil {
		return fmt.Errorf("no such image %q present", name) // kind looks for "no such image"
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"status": map[string]any{
		"id": image.Id, "repoTags": image.RepoTags, "repoDigests": image.RepoDigests, "size": image.Size,
	}})
}

func listImages(ctx context.Context, images cri.ImageServiceClient) error {
	answer, err := images.ListImages(ctx, &cri.ListImagesRequest{})
	if err != nil {
		return err
	}
	for _, image := range answer.Images {
		fmt.Println(image.Id, image.Size, strings.Join(image.RepoTags, ","))
	}
	return nil
}

func listContainers(ctx context.Context, runtime cri.RuntimeServiceClient) error {
	answer, err := runtime.ListContainers(ctx, &cri.ListContainersRequest{})
	if err != nil {
		return err
	}
	for _, c := range answer.Containers {
		state := strings.TrimPrefix(c.State.String(), "CONTAINER_")
		fmt.Printf("%.12s %-9s %-28s %s/%s\n", c.Id, state, c.GetMetadata().GetName(),
			c.Labels["io.kubernetes.pod.namespace"], c.Labels["io.kubernetes.pod.name"])
	}
	return nil
}
