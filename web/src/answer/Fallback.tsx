import { Component, type ReactNode } from "react";

interface Props {
  text: string;
  children: ReactNode;
}

/** Where something can't be drawn, its text stands: one bad answer must not take the page away. */
export class Fallback extends Component<Props, { failedAt: string | null }> {
  override state = { failedAt: null as string | null };

  static getDerivedStateFromProps({ text }: Props, { failedAt }: { failedAt: string | null }) {
    // What grows gets another chance.
    return failedAt !== null && failedAt !== "" && failedAt !== text ? { failedAt: null } : null;
  }
  static getDerivedStateFromError() {
    return { failedAt: "" };
  }
  override componentDidCatch(): void {
    this.setState({ failedAt: this.props.text });
  }
  override render(): ReactNode {
    return this.state.failedAt === null ? this.props.children : <p className="plain">{this.props.text}</p>;
  }
}
