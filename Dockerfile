# onnxq with TensorRT-RTX: quantizes and verifies without a network and without a GPU.
#     docker build --tag onnxq .
#     docker run --rm --network none --volume "$PWD:/data" onnxq quantize model.onnx --data imgs/
FROM python:3.13-slim
COPY . /src
RUN /src/.ci/install /opt/onnxq && rm -rf /src
ENV PATH=/opt/onnxq/bin:$PATH
WORKDIR /data
ENTRYPOINT ["onnxq"]
CMD ["--help"]
